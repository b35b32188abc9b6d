"""Version, changelog, citation and README say the same of a release."""

import re
from pathlib import Path

import yaml

import cnnrnn_mm

ROOT = Path(__file__).resolve().parents[1]
CITATION = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
README = (ROOT / 'README.md').read_text(encoding='utf-8')
CHANGELOG = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')
#: https://keepachangelog.com/en/1.1.0/
KINDS = {'Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'}


def test_the_newest_entry_of_the_changelog_is_this_version():
    versions = re.findall(r'^## \[(.+?)\] - (Unreleased|\d{4}-\d\d-\d\d)$', CHANGELOG, re.M)
    assert versions[0][0] == cnnrnn_mm.__version__
    assert len(versions) == len(re.findall(r'^## ', CHANGELOG, re.M))
    assert set(re.findall(r'^### (.+)$', CHANGELOG, re.M)) <= KINDS


def test_the_citation_is_of_this_version():
    assert CITATION['version'] == cnnrnn_mm.__version__
    # What version 1.2.0 of the format asks for.
    assert {'cff-version', 'message', 'title', 'authors'} <= set(CITATION)
    for reference in CITATION['references']:
        assert {'type', 'title', 'authors'} <= set(reference)
        assert all('family-names' in author for author in reference['authors'])


def test_the_readme_cites_the_paper_of_the_citation_file():
    paper = CITATION['references'][0]
    entry = re.search(r'@inproceedings\{.*?\n\}', README, re.S)[0].replace('{', '').replace('}', '')
    authors = [f'{a["family-names"]}, {a["given-names"]}' for a in paper['authors']]
    assert f'author    = {" and ".join(authors)},' in entry
    assert f'title     = {paper["title"]},' in entry
    assert f'year      = {paper["year"]}' in entry
