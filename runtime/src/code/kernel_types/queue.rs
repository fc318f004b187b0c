//! Where the kernel keeps what waits in the queue of a socket that a shortcut leads to, and who is at work on that socket.
//!
//! Not here: what a program makes of it (`crate::groups::bound`).

use super::{Types, VMLINUX, description};

/// Where the kernel keeps what waits in the queue of a socket that a shortcut leads to, and who is at work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueTypes {
    /// `sk_msg.sk_redir`: the pointer to the socket that data is redirected to.
    pub(crate) redirected: u16,
    /// `sk_msg.list`: by which it stands in a queue.
    pub(crate) message: u16,
    /// `sk_msg.sg.size`: its bytes, 4 bytes.
    pub(crate) size: u16,
    /// `sock.sk_user_data`: the pointer to the `sk_psock`, whose lowest three bits are flags.
    pub(crate) sock_data: u16,
    /// `sk_psock.ingress_msg`: the head of the queue.
    pub(crate) queue: u16,
    /// `sk_psock.refcnt`: how many maps and calls hold it, 4 bytes.
    pub(crate) references: u16,
    /// `sk_psock.link`: the head of the list of the maps that it is in.
    pub(crate) maps: u16,
    /// `sock.sk_lock.owned`: whether a call is at work, 4 bytes.
    pub(crate) owned: u16,
    /// `sock.sk_socket`: the pointer to the `socket`, 0 where nobody has accepted it.
    pub(crate) sock_socket: u16,
    /// `tcp_sock.write_seq`: the number of the byte that is written next, 4 bytes.
    pub(crate) written: u16,
    /// `tcp_sock.copied_seq`: the number of the byte that is read next, 4 bytes.
    pub(crate) read: u16,
    pub(crate) calls: CallTypes,
}

/// Where the kernel keeps who waits in calls on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallTypes {
    /// `socket.wq.wait.head`: the list of those who wait.
    pub(crate) waiting: u16,
    /// `wait_queue_entry.entry`: by which they stand there.
    pub(crate) waiter: u16,
    /// `wait_queue_entry.private`: the thread that waits, if it is one.
    pub(crate) thread: u16,
    /// `wait_queue_entry.func`: what wakes it.
    pub(crate) wakes: u16,
    /// `socket.file`: the pointer to the open file.
    pub(crate) file: u16,
    /// How often that is held, 8 bytes: `file.f_count`, and `file.f_ref` from Linux 6.13 on.
    pub(crate) holders: u16,
    /// What stands there for one descriptor and no call: `f_ref` counts from 0 (`file_ref_init`).
    pub(crate) one_holder: i32,
    /// `task_struct.files`: the pointer to a thread's table of descriptors.
    pub(crate) table: u16,
    /// `files_struct.count`: how many threads have that table, 4 bytes.
    pub(crate) threads: u16,
}

impl QueueTypes {
    /// Reads them; the text says why that cannot be.
    pub(crate) fn read() -> Result<Self, String> {
        let types = Types::parse(description()?);
        types
            .and_then(|types| Self::of(&types))
            .ok_or_else(|| format!("{VMLINUX} does not tell what waits in the queue of a socket"))
    }

    fn of(types: &Types<'_>) -> Option<Self> {
        let at = |name: &str, member: &str| types.offset(types.structure(name)?, member);
        let lock = types.structure_with(["slock", "owned"])?;
        Some(Self {
            redirected: at("sk_msg", "sk_redir")?,
            message: at("sk_msg", "list")?,
            size: at("sk_msg", "sg")? + at("sk_msg_sg", "size")?,
            sock_data: at("sock", "sk_user_data")?,
            queue: at("sk_psock", "ingress_msg")?,
            references: at("sk_psock", "refcnt")?,
            maps: at("sk_psock", "link")?,
            owned: at("sock", "sk_lock")? + types.offset(lock, "owned")?,
            sock_socket: at("sock", "sk_socket")?,
            written: at("tcp_sock", "write_seq")?,
            read: at("tcp_sock", "copied_seq")?,
            calls: CallTypes::of(types)?,
        })
    }
}

impl CallTypes {
    fn of(types: &Types<'_>) -> Option<Self> {
        let at = |name: &str, member: &str| types.offset(types.structure(name)?, member);
        let (holders, one_holder) = match at("file", "f_count") {
            Some(count) => (count, 1),
            None => (at("file", "f_ref")?, 0),
        };
        Some(Self {
            waiting: at("socket", "wq")?
                + at("socket_wq", "wait")?
                + at("wait_queue_head", "head")?,
            waiter: at("wait_queue_entry", "entry")?,
            thread: at("wait_queue_entry", "private")?,
            wakes: at("wait_queue_entry", "func")?,
            file: at("socket", "file")?,
            holders,
            one_holder,
            table: at("task_struct", "files")?,
            threads: at("files_struct", "count")?,
        })
    }
}
