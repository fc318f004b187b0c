//! The kernel's switch that has the JIT hide constants, set for as long as something is measured.

use std::fs;

use crate::stage::Problem;

const SWITCH: &str = "/proc/sys/net/core/bpf_jit_harden";

/// The switch as it is set; what it was is put back at the end.
pub(crate) struct Hardened {
    before: String,
}

impl Hardened {
    /// Sets it. Programs that are loaded from now on are hardened so.
    pub(crate) fn set(level: u8) -> Result<Self, Problem> {
        let before = fs::read_to_string(SWITCH)?;
        fs::write(SWITCH, level.to_string())?;
        Ok(Self { before })
    }
}

impl Drop for Hardened {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, self.before.trim()) {
            eprintln!(
                "{SWITCH} was {} and could not be put back: {error}",
                self.before.trim()
            );
        }
    }
}
