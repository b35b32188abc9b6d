# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .given_proposals import GivenProposals
from .grid_proposals import GridProposals
from .proposal_network import ProposalNetwork
from .proposal_source import ProposalSource

__all__ = ['GivenProposals', 'GridProposals', 'ProposalNetwork', 'ProposalSource']
