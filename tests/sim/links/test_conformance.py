"""The link lab's conformance suite on simulated links. Its text is in tests/integration/netns, which runs it
on the other engines."""

from tests.integration.netns.conformance.test_captures import *  # noqa: F403
from tests.integration.netns.conformance.test_changes import *  # noqa: F403
from tests.integration.netns.conformance.test_faults import *  # noqa: F403
from tests.integration.netns.conformance.test_impairments import *  # noqa: F403
from tests.integration.netns.conformance.test_rates import *  # noqa: F403
