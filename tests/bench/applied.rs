//! What a whole `apply` takes, as somebody waits for it: the command, from its start to its end.

use std::fs;
use std::process::Command;

use sockc_runtime::lab::{FRONT, Lab};

use crate::compiled::Folder;
use crate::rules::RuleSet;
use crate::rules::policy::{RunsAt, Verdicts, policy};
use crate::stage::Problem;
use crate::systems::patient;

/// Milliseconds of the first apply in a namespace of its own.
pub(crate) fn milliseconds(folder: &Folder, set: &RuleSet, place: RunsAt) -> Result<f64, Problem> {
    let file = folder.file("applied.sk");
    fs::write(&file, policy(&set.rules, Verdicts::Drop, place))?;
    let command = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
        command.args([verb, "--yes"]);
        command
    };
    let lab = Lab::new()?;
    let mut apply = command("apply");
    apply.args(["--interface", FRONT]).arg(&file);
    let took = lab.server.run(move || patient::run(&mut apply, ""))?;
    // The namespace goes, and with it what hangs on its interfaces; this is for the pins.
    let mut unload = command("unload");
    let gone = lab.server.run(move || patient::run(&mut unload, ""))?;
    let told = |unfit: crate::systems::Unfit| unfit.to_string();
    let took = took.map_err(told)?.milliseconds;
    gone.map_err(told)?;
    Ok(took)
}
