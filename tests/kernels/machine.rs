//! Boots a kernel under QEMU with one program and one folder, and gives its console.
//!
//! Pure emulation (`-accel tcg`): no rights and no nested virtualisation are needed, and a boot takes about two seconds.
//! `/dev/kvm` is not used even where it is there: it may belong to a hypervisor that cannot run an ordinary guest.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Longest life of a guest, in seconds, on a machine that has much else to do.
const PATIENCE: &str = "1500";

/// Everything a guest needs, put together once for all kernels.
pub(crate) struct Guest {
    cache: PathBuf,
    payload: Vec<u8>,
    /// Its memory in MiB.
    memory: usize,
}

impl Guest {
    /// A guest that runs `program` with the files of `folder` in `/work`, of which those that can be run find their
    /// libraries. `scratch` is an empty folder.
    pub(crate) fn new(
        cache: &Path,
        program: &Path,
        folder: &Path,
        scratch: &Path,
    ) -> io::Result<Self> {
        let root = scratch.join("root");
        for name in ["bin", "dev", "proc", "sys", "run", "tmp", "mod", "work"] {
            fs::create_dir_all(root.join(name))?;
        }
        let busybox = cache.join("tools/busybox");
        install(&busybox, &root.join("bin/busybox"))?;
        strip(program, &root.join("test"))?;
        for binary in [&busybox, program] {
            install_libraries(binary, &root)?;
        }
        let init = root.join("init");
        fs::write(&init, include_str!("init.sh"))?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        for file in fs::read_dir(folder)? {
            let file = file?;
            fs::copy(file.path(), root.join("work").join(file.file_name()))?;
            if file.metadata()?.permissions().mode() & 0o100 != 0 {
                install_libraries(&file.path(), &root)?;
            }
        }
        let payload = archive(&busybox, &root)?;
        Ok(Self {
            cache: cache.to_owned(),
            // The archive and its files lie there side by side, and files may fill no more than half of it.
            memory: 640 + 4 * (payload.len() >> 20),
            payload,
        })
    }

    /// Boots one kernel and gives its console.
    pub(crate) fn boot(&self, kernel: &str, scratch: &Path) -> io::Result<String> {
        let from = self.cache.join(kernel);
        let modules = scratch.join(format!("modules-{kernel}"));
        fs::create_dir_all(modules.join("mod"))?;
        for file in fs::read_dir(from.join("mod"))? {
            let file = file?;
            fs::copy(file.path(), modules.join("mod").join(file.file_name()))?;
        }
        // The kernel unpacks archives that follow one another into one file system.
        let mut image = archive(&self.cache.join("tools/busybox"), &modules)?;
        image.extend_from_slice(&self.payload);
        let initrd = scratch.join(format!("initrd-{kernel}"));
        fs::write(&initrd, image)?;
        let output = Command::new("timeout")
            .args(["-k", "5", PATIENCE])
            .arg(self.cache.join("tools/qemu"))
            // microvm hangs on 5.10 and 6.1. Of a newer processor more is emulated, which takes a third more time.
            .args(["-M", "pc", "-accel", "tcg", "-cpu", "qemu64", "-smp", "1"])
            .args(["-m", &self.memory.to_string()])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-serial",
                "stdio",
            ])
            .arg("-no-reboot")
            .arg("-kernel")
            .arg(from.join("vmlinuz"))
            .arg("-initrd")
            .arg(&initrd)
            // The check counts ten ticks in the time of a busy loop, and panics where the host has not let them come
            // (`check_timer` of arch/x86/kernel/apic/io_apic.c).
            .args([
                "-append",
                "console=ttyS0 quiet no_timer_check panic=-1 reboot=t",
            ])
            .stdin(Stdio::null())
            .output()?;
        fs::remove_file(&initrd)?;
        let mut console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        console.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(console)
    }
}

fn install(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).map(drop)
}

/// A copy without debug information, which would fill most of the guest's memory; the whole where there is no `strip`.
pub(crate) fn strip(from: &Path, to: &Path) -> io::Result<()> {
    let done = Command::new("strip").arg("-o").arg(to).arg(from).status();
    if done.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    install(from, to)
}

/// The shared libraries of a binary, and the loader that its header names, at the same paths.
fn install_libraries(binary: &Path, root: &Path) -> io::Result<()> {
    let output = Command::new("ldd").arg(binary).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths {
        install(Path::new(path), &root.join(path.trim_start_matches('/')))?;
    }
    Ok(())
}

/// A folder as an archive of the form that kernels unpack.
fn archive(busybox: &Path, folder: &Path) -> io::Result<Vec<u8>> {
    let output = Command::new("sh")
        .arg("-c")
        .arg("cd \"$1\" && find . | \"$0\" cpio -o -H newc")
        .arg(busybox)
        .arg(folder)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    Ok(output.stdout)
}
