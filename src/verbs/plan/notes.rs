//! What a person should know of a policy that follows another, besides what changes for packets.

use sockc_compiler::artifact::Manifest;
use sockc_runtime::{Forecast, LinkFate};

/// The notes; none where nothing is in force.
pub(crate) fn notes(forecast: &Forecast, manifest: &Manifest) -> Vec<String> {
    let Some(running) = &forecast.running else {
        return Vec::new();
    };
    let mut notes = Vec::new();
    if running.policy != manifest.policy {
        notes.push(format!(
            "\"{}\" is replaced by a policy of another name, \"{}\"",
            running.policy, manifest.policy
        ));
    }
    let goes = |hook: &&_| {
        matches!(
            hook,
            sockc_runtime::HookForecast {
                link: LinkFate::Detached,
                ..
            }
        )
    };
    let gone = forecast.hooks.iter().filter(goes).count();
    if gone > 0 && gone == forecast.hooks.len() {
        notes.push(format!(
            "every hook is taken off: \"{}\" filters and steers nothing",
            manifest.policy
        ));
    }
    notes
}
