"""The V3 configuration: the one document that an execution bot can trust.

`candidate` and `document` build and approve it, `export` writes it, `reader` refuses whatever may not be
traded, `row` is its row of ``trained_configurations``. `reader` needs neither NumPy nor a database.
"""
