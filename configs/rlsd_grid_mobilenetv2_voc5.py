# rlsd_mobilenetv2_voc5.py with a fixed grid of 13 windows in place of learned proposals.
#
#   python tools/train.py configs/rlsd_grid_mobilenetv2_voc5.py
#
# Validation split, last epoch, cached maps, seeds 0 to 2: mAP 91.7 +- 0.2, O-F1 83.9 +- 0.6, recall
# of labels whose objects cover less than 5 % of the image 61.0 +- 2.6 (percent). 2026-11-21, torch
# 2.11.0, mmpretrain 1.2.0; beside other heads on the same maps in docs/rlsd.md.
_base_ = ['./rlsd_mobilenetv2_voc5.py']

model = dict(neck=dict(proposals=dict(_delete_=True, type='GridProposals', levels=(2, 3))))
