PAGE = "report.html"


def write(*a):
    raise NotImplementedError
