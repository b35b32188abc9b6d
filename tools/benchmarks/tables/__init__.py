# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What paper_tables.py is made of."""
