# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
