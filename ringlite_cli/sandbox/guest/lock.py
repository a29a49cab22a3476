"""What a jail's warm process gives up for good, and what a forked child gives up on top before it runs a submission.

The warm process installs the system call filter once, since every child inherits it (installing it per child costs
0.25 ms). It keeps what it needs itself: a PID name space for its next child and a fresh tmpfs, calls that the kernel
allows only with CAP_SYS_ADMIN. A child has no capability and no way to one (no user name space, no_new_privs).

The system call filter is a list of what no submission needs: other name spaces, mounting, tracing, kernel keys,
shared memory that outlives a process, sockets other than AF_UNIX (AF_VSOCK would leave the machine past any network
name space), and what would tell a run of the one before it: names and cookies that the kernel counts up for sockets,
how many files are on their way through sockets (a user's number outlives the run), and which pages of a file are in
memory. Numbers are Linux's, x86-64 and arm64 (arch/x86/entry/syscalls/syscall_64.tbl,
asm-generic/unistd.h).
"""

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Mapping

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWPID = 0x20000000
_CLONE_NEW_ANY = 0x7E020080  # all CLONE_NEW* flags, time name space included
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER = 4, 8, 22, 36
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 38, 47
_CAP_DAC_READ_SEARCH = 1 << 2
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _LANDLOCK_SCOPES = 444, 446, 3
TMPFS_FLAGS = 2 | 4  # nosuid, nodev
MNT_DETACH = 2
_EPERM, _EACCES, _ENOSYS = 1, 13, 38
_AF_UNIX = 1

# name: (x86-64, arm64)
_DENIED = {
    "ptrace": (101, 117), "pivot_root": (155, 41), "chroot": (161, 51), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "kexec_load": (246, 104), "init_module": (175, 105),
    "delete_module": (176, 106), "finit_module": (313, 273), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "shmget": (29, 194), "shmctl": (31, 195), "shmat": (30, 196), "semget": (64, 190), "semctl": (66, 191),
    "semop": (65, 193), "msgget": (68, 186), "msgctl": (71, 187), "mq_open": (240, 180), "memfd_create": (319, 279),
    "open_by_handle_at": (304, 265), "acct": (163, 89), "name_to_handle_at": (303, 264), "personality": (135, 92),
    "quotactl": (179, 60), "swapon": (167, 224), "reboot": (169, 142), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "syslog": (103, 116), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "mount_setattr": (442, 442), "memfd_secret": (447, 447),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "semtimedop": (220, 192), "mq_unlink": (241, 181), "kcmp": (312, 272),
    "sync": (162, 81), "syncfs": (306, 267), "fanotify_init": (300, 262), "io_setup": (206, 0), "swapoff": (168, 225),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "lookup_dcookie": (212, 18), "quotactl_fd": (443, 443),
    "statmount": (457, 457), "listmount": (458, 458), "mincore": (27, 232), "cachestat": (451, 451),
    "fadvise64": (221, 223), "readahead": (187, 213), "sendmsg": (46, 211), "sendmmsg": (307, 269),
}  # fmt: skip
# name: ((x86-64, arm64), which argument, the only value allowed): what the warm process itself does
_ALLOWED_AS = {
    "socket": ((41, 198), 0, _AF_UNIX, _EACCES),
    "unshare": ((272, 97), 0, CLONE_NEWPID, _EPERM),
    "setns": ((308, 268), 1, CLONE_NEWPID, _EPERM),
    "mount": ((165, 40), 3, TMPFS_FLAGS, _EPERM),
    "umount2": ((166, 39), 1, MNT_DETACH, _EPERM),
}
# name: ((x86-64, arm64), which argument, the values refused)
_DENIED_AS = {
    "bind": ((49, 200), 2, (2,)),  # a name that the kernel makes up
    "setsockopt": ((54, 208), 2, (16, 76)),  # SO_PASSCRED, SO_PASSPIDFD: they bind likewise
    "getsockopt": ((55, 209), 2, (57, 71)),  # SO_COOKIE, SO_NETNS_COOKIE
    "madvise": ((28, 233), 2, (20, 21)),  # MADV_COLD, MADV_PAGEOUT
}
_PREADV2 = (327, 286)  # it can ask what is in memory; libc falls back where it is missing
_ARCHES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_CLONE = (56, 220)
_CLONE3 = 435

_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def _op(code: int, jump_true: int, jump_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, value)


def filter_program() -> bytes | None:
    """The filter as classic BPF; None on a machine whose system call numbers are not known here."""
    arch = _ARCHES.get(platform.machine())
    if arch is None:
        return None
    token, column = arch
    ops = [_op(_LOAD, 0, 0, 4), _op(_JEQ, 1, 0, token), _op(_RET, 0, 0, _KILL), _op(_LOAD, 0, 0, 0)]
    ops += [_op(_JGE, 0, 1, 0x40000000), _op(_RET, 0, 0, _ERRNO | _ENOSYS)]  # the x32 calling convention
    for pair in _DENIED.values():
        ops += [_op(_JEQ, 0, 1, pair[column]), _op(_RET, 0, 0, _ERRNO | _EPERM)]
    ops += [_op(_JEQ, 0, 1, _CLONE3), _op(_RET, 0, 0, _ERRNO | _ENOSYS)]  # flags behind a pointer; libc falls back
    ops += [_op(_JEQ, 0, 4, _CLONE[column]), _op(_LOAD, 0, 0, 16), _op(_JSET, 0, 1, _CLONE_NEW_ANY & ~0x80)]
    ops += [_op(_RET, 0, 0, _ERRNO | _EPERM), _op(_RET, 0, 0, _ALLOW)]
    for numbers, argument, value, error in _ALLOWED_AS.values():
        ops += [_op(_JEQ, 0, 4, numbers[column]), _op(_LOAD, 0, 0, 16 + 8 * argument), _op(_JEQ, 0, 1, value)]
        ops += [_op(_RET, 0, 0, _ALLOW), _op(_RET, 0, 0, _ERRNO | error)]
    for numbers, argument, values in _DENIED_AS.values():
        ops += [_op(_JEQ, 0, 2 + 2 * len(values), numbers[column]), _op(_LOAD, 0, 0, 16 + 8 * argument)]
        ops += [op for v in values for op in (_op(_JEQ, 0, 1, v), _op(_RET, 0, 0, _ERRNO | _EPERM))]
        ops += [_op(_RET, 0, 0, _ALLOW)]
    ops += [_op(_JEQ, 0, 1, _PREADV2[column]), _op(_RET, 0, 0, _ERRNO | _ENOSYS)]
    ops += [_op(_RET, 0, 0, _ALLOW)]
    return b"".join(ops)


_FILTER = filter_program()


class _Fprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


_FPROG = _Fprog(len(_FILTER) // 8, _FILTER) if _FILTER else None


def has_filter() -> bool:
    """Return whether this kernel and machine take the system call filter (asked without installing it)."""
    return _FPROG is not None and libc.prctl(21, 0, 0, 0, 0) >= 0  # PR_GET_SECCOMP


def share_group(gid: int) -> None:
    """The warm process takes the children's group and no other. Raises OSError when it cannot."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)


def drop_privileges(uid: int | None, reads_all: bool = False) -> None:
    """Becomes `uid`, which gives up every capability (capabilities(7)), or gives them up by name. Raises OSError.

    reads_all: keeps the one to read closed folders, for an interpreter that lies in one.
    """
    kept = _CAP_DAC_READ_SEARCH if uid is not None and reads_all else 0
    if uid is not None:
        if kept:
            libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setresuid(uid, uid, uid)
        if not kept:
            return
    libc.prctl(_PR_CAP_AMBIENT, 4, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


_RLIMITS = {
    "cpu": resource.RLIMIT_CPU,
    "memory": resource.RLIMIT_AS,
    "file": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
    "files": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    "stack": resource.RLIMIT_STACK,
}
_HARD = {kind: resource.getrlimit(kind)[1] for kind in _RLIMITS.values()}


def set_limits(limits: Mapping[str, int]) -> None:
    """Limits of a process and its children: `cpu` seconds; `memory`, `file`, `core`, `stack` bytes; a number of
    `processes`, `files`."""
    for name, value in limits.items():
        kind = _RLIMITS[name]
        hard = _HARD[kind]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def filter_calls() -> None:
    """Install the system call filter and no_new_privs, for good. Raises OSError where the kernel refuses them."""
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if _FPROG is not None and libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_FPROG), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


_MOUNT_FLAGS = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}  # of statvfs(3): of mount(2)


def make_read_only(path: str) -> bool:
    """Make a mount read-only, its other flags as they were. Devices stay writable, but their times can't be set."""
    held = os.statvfs(path).f_flag
    flags = sum(flag for bit, flag in _MOUNT_FLAGS.items() if held & bit) | 1 | 32 | 4096  # read-only, remount, bind
    return libc.mount(None, path.encode(), None, flags, None) == 0


def adopt_orphans() -> None:
    """From now on, what a child of this process leaves behind becomes a child of this process."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def keep_signals_inside() -> None:
    """From here on this process and its children signal nobody else, nor use their abstract sockets, where the kernel
    has it (Landlock since Linux 6.12); elsewhere nothing happens.
    """
    number = libc.syscall(_LANDLOCK_CREATE, struct.pack("=QQQ", 0, 0, _LANDLOCK_SCOPES), 24, 0)
    if number >= 0:
        libc.syscall(_LANDLOCK_RESTRICT, number, 0)
        os.close(number)


def undumpable() -> None:
    """No other process of this user may trace this one or read its memory."""
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
