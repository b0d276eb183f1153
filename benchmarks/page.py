"""x"""
import math
def overall(cells):
    by={}
    for c in cells: by.setdefault(c["method"],[]).append(math.log(c["captum"]/c["ours"]))
    return math.exp(sum(sum(v)/len(v) for v in by.values())/len(by))
def memory_line(f):
    return f"{f['method']:28} {f['subject']:16} ours {[round(v,1) for v in f['ours']]} captum {[round(v,1) for v in f['captum']]}"
