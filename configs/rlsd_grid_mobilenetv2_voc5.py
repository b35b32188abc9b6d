# rlsd_mobilenetv2_voc5.py with a fixed grid of 13 windows in place of learned proposals.
#
#   python tools/train.py configs/rlsd_grid_mobilenetv2_voc5.py
#
# Beside other heads on the same maps: docs/rlsd.md.
_base_ = ['./rlsd_mobilenetv2_voc5.py']

model = dict(neck=dict(proposals=dict(_delete_=True, type='GridProposals', levels=(2, 3))))
