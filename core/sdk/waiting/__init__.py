"""Why a task waits and when it starts, in the same words for every screen.

explanation = await explain(client, await client.get(task))
explanation.waits.text       "3 tasks of queue default go before it"
explanation.reasons          facts, each with whether it is as it should be
explanation.start_text       "it starts in about 3m05s (2m to 5m), if tasks take as long …"
"""

from .dependencies import Dependency as Dependency
from .explain import Explanation as Explanation
from .explain import explain as explain
from .explain import explanation_of as explanation_of
from .explain import facts_of as facts_of
from .forecast import Forecast as Forecast
from .verdict import Reason as Reason
from .verdict import Verdict as Verdict
