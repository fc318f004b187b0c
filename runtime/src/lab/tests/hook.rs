//! A program that drops IPv4, made by hand: nothing of the compiler or of the runtime.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::super::FRONT;

/// Type of program, its context's offsets of data and end, attach type, and its word for drop.
pub(super) struct Hook {
    kind: u32,
    data: i16,
    end: i16,
    attach: u32,
    drop: i32,
}

pub(super) const XDP: Hook = Hook {
    kind: 6,
    data: 0,
    end: 4,
    attach: 37,
    drop: 1,
};
pub(super) const TC_IN: Hook = Hook {
    kind: 3,
    data: 76,
    end: 80,
    attach: 46,
    drop: 2,
};
pub(super) const TC_OUT: Hook = Hook {
    attach: 47,
    ..TC_IN
};

fn bpf(command: u32, attributes: &[u64]) -> OwnedFd {
    // SAFETY: the attributes outlive the call; the kernel takes missing ones as zero.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            attributes.len() * 8,
        );
        assert!(
            fd >= 0,
            "bpf({command}): {}",
            std::io::Error::last_os_error()
        );
        OwnedFd::from_raw_fd(fd as i32)
    }
}

/// Attaches a program that drops IPv4 and passes everything else, until the descriptor is closed.
pub(super) fn drop_ipv4(hook: &Hook) -> OwnedFd {
    let insn = |opcode: u8, registers: u8, offset: i16, imm: i32| {
        u64::from(opcode)
            | u64::from(registers) << 8
            | u64::from(offset as u16) << 16
            | u64::from(imm as u32) << 32
    };
    let pass = if hook.kind == 6 { 2 } else { 0 };
    let program = [
        insn(0x61, 0x12, hook.data, 0),
        insn(0x61, 0x13, hook.end, 0),
        insn(0xbf, 0x24, 0, 0),
        insn(0x07, 0x04, 0, 14),
        insn(0x2d, 0x34, 4, 0),
        insn(0x69, 0x25, 12, 0),
        insn(0x55, 0x05, 2, 0x0008),
        insn(0xb7, 0x00, 0, hook.drop),
        insn(0x95, 0, 0, 0),
        insn(0xb7, 0x00, 0, pass),
        insn(0x95, 0, 0, 0),
    ];
    let licence = c"Dual MIT/GPL";
    let load = [
        u64::from(hook.kind) | (program.len() as u64) << 32,
        program.as_ptr() as u64,
        licence.as_ptr() as u64,
    ];
    let loaded = bpf(5, &load);
    let index = nix::net::if_::if_nametoindex(FRONT).unwrap();
    let target = loaded.as_raw_fd() as u64 | u64::from(index) << 32;
    bpf(28, &[target, u64::from(hook.attach)])
}
