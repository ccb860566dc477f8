"""How many examples a property test tries: all of them, or a tenth in `./scripts/test --fast`. What takes longest."""

import os

FAST = "HEATPUMP_TEST_FAST"


def examples(count: int) -> int:
    """Scale a number of examples."""
    return max(count // 10, 5) if os.environ.get(FAST) else count


LONGEST = (
    *("panel_app/test_reconnects", "deploy/test_stack_harm", "panel_app/test_overview_spans"),
    *("cli/test_replay_into", "panel_app/test_overview", "panel_app/test_overview_devices"),
    *("panel_app/test_rights", "deploy/test_setup", "docs/test_tutorial", "ledger/test_determinism"),
    *("panel_app/test_charts_browser", "docs/test_commands", "ingest/test_ingest", "panel_app/test_shell"),
    *("cli/test_demo", "cli/test_up", "cli/test_tail", "backup/test_destroyed", "panel_app/test_pipeline_page"),
    *("pipeline/test_flow", "deploy/test_stack_restore", "scripts/test_benches", "deploy/test_stack"),
    *("deploy/test_setup_later", "deploy/test_stack_pages", "backup/test_folder", "ledger/test_episode_oracle"),
    *("ledger/test_ledger", "pipeline/test_conservation", "docs/test_add", "scripts/test_simulate_mqtt"),
    *("history/test_import_live", "docs/test_screenshots", "backup/test_moments", "cli/test_doctor"),
    *("cli/test_elsewhere",),
)
"""Files that take half a minute or nearly so, longest first: begun last, one of them would be waited for.

Those with a browser, which compute, stand between those that wait.
"""
