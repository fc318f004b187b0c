//! Whether the programs that are asked about what arrives can know where a segment begins.
//!
//! The kernel hands them segments of which a part came before. They read the numbers of a segment where the compiler has them
//! look ([`SEGMENT`]), by `bpf_probe_read_kernel`. Not here: the programs themselves.

use sockc_compiler::artifact::SEGMENT;

use super::kernel_types::SegmentTypes;
use super::owner::may_read;

/// Whether they can, where the kernel is asked for its types at all; the text says why not.
pub(crate) fn known(asked: bool) -> Result<(), String> {
    let why = look().err();
    if asked && why.is_none() {
        return Ok(());
    }
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Err(format!(
        "where a segment begins cannot be known here, so data could come twice{why}"
    ))
}

/// Whether that is where this kernel has them, and whether programs may read there.
fn look() -> Result<(), String> {
    let types = SegmentTypes::read()?;
    if u32::from(types.control) != SEGMENT || types.numbers != [0, 4] {
        return Err("this kernel keeps that in a place that is not known".to_owned());
    }
    may_read()
}
