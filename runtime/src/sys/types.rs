//! Descriptions of types (BTF), which maps and programs refer to by numbers.

use std::io;
use std::os::fd::OwnedFd;

use aya_obj::generated::bpf_cmd;

use super::bpf::{address, attr, call_fd};
use super::token;

/// Loads one.
pub(crate) fn load(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut a = attr();
    a.__bindgen_anon_7.btf = address(bytes);
    a.__bindgen_anon_7.btf_size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    (
        a.__bindgen_anon_7.btf_flags,
        a.__bindgen_anon_7.btf_token_fd,
    ) = token::passed();
    call_fd(bpf_cmd::BPF_BTF_LOAD, &mut a)
}
