from pathlib import Path
PAGE="report.html"
def write(*a): raise NotImplementedError
