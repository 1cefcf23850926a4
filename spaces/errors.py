"""Every exception that this project raises on purpose.

    SearchError                     anything below
    ├── UserError                   mended by the user: one line, exit status 2
    │   ├── ConfigError             a setting, an override or a configuration file
    │   ├── TaskError               a task that cannot be loaded or breaks its contract
    │   ├── WeightsError            a weight file that is missing, damaged or unsafe
    │   └── RunFolderError          a run folder that cannot be made, read or resumed
    ├── TrialError                  one trial cannot be finished; the search goes on
    └── StudyError                  the study cannot be finished: exit status 1

They live here because every other package may depend on `spaces`.
"""


class SearchError(Exception):
    """Base of all exceptions raised on purpose."""


class UserError(SearchError):
    """A mistake the user can mend. The message names the value, what is allowed, the mend."""


class ConfigError(UserError):
    """A setting that is unknown or outside what is allowed."""


class TaskError(UserError):
    """A task that cannot be loaded, or that breaks the Task contract."""


class WeightsError(UserError):
    """A weight file that is missing, damaged, or holds more than arrays."""


class RunFolderError(UserError):
    """A run folder that cannot be made, read or resumed."""


class TrialError(SearchError):
    """One plan cannot be carried through; the message becomes the trial's `reason`."""


class StudyError(SearchError):
    """No model can be delivered: every trial failed, or none kept the budget."""
