"""What a person looks at: the one-file report of a run. This room is handed values; it knows no Lab."""
