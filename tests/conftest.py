"""What all tests share."""

import hypothesis

hypothesis.settings.register_profile("mmp", deadline=None)  # no test judges by the time that something took
hypothesis.settings.load_profile("mmp")
