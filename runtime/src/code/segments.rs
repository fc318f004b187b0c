//! Whether the programs that are asked about what arrives can know where a segment begins.
//!
//! The kernel hands them segments of which a part came before. They read the numbers of a segment where the compiler has them
//! look ([`SEGMENT`]), by `bpf_probe_read_kernel`. Not here: the programs themselves.

use sockc_compiler::artifact::SEGMENT;

use super::kernel_types::SegmentTypes;
use super::owner::may_read;

/// Whether that is where this kernel has them, and whether programs may read there; the text says why not.
pub(crate) fn known() -> Result<(), String> {
    let types = SegmentTypes::read()?;
    if u32::from(types.control) != SEGMENT || types.numbers != [0, 4] {
        return Err("this kernel keeps that in a place that is not known".to_owned());
    }
    may_read()
}

/// What is said where they cannot.
pub(crate) fn why_not() -> String {
    let why = known().err().map(|why| format!(": {why}"));
    format!(
        "where a segment begins cannot be known here, so data could come twice{}",
        why.unwrap_or_default()
    )
}
