"""The training and validation audio: fetched, cut, described and packed. Run by tools/corpus; see __main__.py."""
