//! The files that a policy names, read from the machine.

use std::path::Path;

use sockc_compiler::files::Files;
use sockc_compiler::observer::Observer;

use crate::files::bounded;
use crate::output::watch::Watch;

/// The machine's files, and who is told how far a compile has come.
#[derive(Debug)]
pub(crate) struct Disk<'a> {
    watch: &'a mut Watch,
}

impl<'a> Disk<'a> {
    /// Tells this watch.
    pub(crate) fn new(watch: &'a mut Watch) -> Self {
        Self { watch }
    }
}

impl Observer for Disk<'_> {
    fn stage(&mut self, name: &str) {
        self.watch.stage(name);
    }

    fn progress(&mut self, done: u64, of: u64) {
        self.watch.progress(done, of);
    }
}

impl Files for Disk<'_> {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        bounded::read(path, |_| bounded::LIST).map_err(|error| error.to_string())
    }
}
