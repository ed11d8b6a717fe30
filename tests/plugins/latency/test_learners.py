import subprocess
import sys

WITHOUT_THE_EXTRA = """
import sys
sys.modules["river"] = None
from turnout.config import ConfigError, load_pipeline, shipped_profiles
try:
    load_pipeline(shipped_profiles().joinpath("slo-first.yaml").read_text())
except ConfigError as error:
    print(error.problems[0].message)
"""


def test_without_the_extra_the_configuration_is_refused_and_says_what_to_install() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_THE_EXTRA], capture_output=True, text=True, check=True)
    assert "pip install 'turnout[latency]'" in run.stdout
