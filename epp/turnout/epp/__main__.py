"""`python -m turnout.epp` is `turnout`."""

from turnout.epp.entry import main

main()
