from hypothesis import settings

# A time limit for one example would be an assertion about the clock of the machine.
settings.register_profile("turnout", deadline=None)
settings.load_profile("turnout")
