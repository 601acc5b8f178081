"""What each command says: results in, a page of words, figures and tables out. One module a command."""
