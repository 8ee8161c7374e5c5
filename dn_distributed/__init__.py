"""The science of DropNeuron (arXiv 1606.07326): regularised training, pruning, and what is left afterwards.

Nothing in this package knows where results go: it imports neither Ray nor MLflow.
"""
