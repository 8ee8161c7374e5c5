"""Make ``cancer.csv``, the table that ``table.yaml`` sweeps over: scikit-learn's 569 tumours of 30 measures each."""

from sklearn.datasets import load_breast_cancer

data = load_breast_cancer(as_frame=True)
data.frame.assign(target=data.target_names[data.frame["target"]]).to_csv("cancer.csv", index=False)
