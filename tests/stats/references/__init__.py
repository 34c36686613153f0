"""One module a topic of tests/reference: `CHECKS` maps a case's method to the function that checks it."""
