# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One file from pixels to labels."""
