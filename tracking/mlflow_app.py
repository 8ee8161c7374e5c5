"""What the entry point ``mlflow.app`` names: installations of any version find the server's application here."""

from tracking.server.mlflow_app import create_app as create_app
