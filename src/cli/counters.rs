//! The options of `counters`.

use std::time::Duration;

use clap::Args;

use super::Deployment;

#[derive(Args, Debug)]
pub(crate) struct Counters {
    #[command(flatten)]
    pub(crate) place: Deployment,
    /// Leave out what has counted nothing
    #[arg(long)]
    pub(crate) nonzero: bool,
    /// Only the rules with this label, or on this line: LABEL, LINE or FILE:LINE; may be given several times
    #[arg(long = "rule", value_name = "RULE")]
    pub(crate) rules: Vec<String>,
    /// Show again and again what was counted since the last look, a second, until interrupted [default: every 2 seconds]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = seconds, conflicts_with = "reset")]
    pub(crate) watch: Option<Duration>,
    /// Have these rules, or all counters, begin at 0 again, for everybody who looks by this command; `sockc metrics` goes on
    #[arg(long, value_name = "RULE", num_args = 0.., conflicts_with_all = ["rules", "nonzero"])]
    pub(crate) reset: Option<Vec<String>>,
    /// Never ask
    #[arg(long, requires = "reset")]
    pub(crate) yes: bool,
}

/// Reads a number of seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds));
    let seconds = seconds.map(Duration::from_secs_f64);
    seconds.ok_or_else(|| "write seconds, from 0.1 to 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "NaN", "inf", "1e9", "2s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
