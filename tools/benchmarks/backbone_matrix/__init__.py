# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What backbones.py is made of."""
