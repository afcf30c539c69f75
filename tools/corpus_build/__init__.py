"""The training and validation audio: downloaded, cut, described and packed. tools/corpus runs it; see __main__.py."""
