//! What a child takes from itself before it reads a script: memory, files, rights, system calls.
//!
//! In: the limits. Out: sentences about what this system cannot limit. Never: anything that can be
//! undone.

use crate::script::wire::Limits;

/// Applies all limits; answers a sentence for each that the system does not have.
#[cfg(target_os = "linux")]
pub(crate) fn apply(limits: &Limits) -> Vec<String> {
    linux::apply(limits)
}

/// Bounds memory, which these systems do not bound themselves; answers the sentence that says what they
/// do not have.
#[cfg(not(target_os = "linux"))]
pub(crate) fn apply(limits: &Limits) -> Vec<String> {
    HEAP.bound(limits.memory);
    vec!["this system cannot confine script processes: run only scripts you trust".into()]
}

/// The heap of every process of this program, without a bound in all but script processes.
#[cfg(not(target_os = "linux"))]
#[global_allocator]
static HEAP: super::heap::Bounded = super::heap::Bounded::new();

#[cfg(target_os = "linux")]
pub(super) mod linux {
    //! Limits as Linux has them.

    use std::fmt::Display;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset,
        RulesetAttr, RulesetError, Scope,
    };
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    use rustix::thread::{CapabilitySet, CapabilitySets};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    use crate::script::wire::Limits;

    /// Files that may be open: standard streams, the socket, and the batches that wait.
    const MAX_FILES: u64 = 64;

    /// System calls that the engine, its allocator and the socket need; all others answer EPERM.
    /// None of them opens, names or reaches anything outside the process.
    const ALLOWED: &[libc::c_long] = &[
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_fcntl,
        libc::SYS_fstat,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_pread64,
        libc::SYS_read,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_yield,
        libc::SYS_sendmsg,
        libc::SYS_sendto,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
        libc::SYS_write,
        libc::SYS_writev,
    ];

    /// How much less of a processor scripts get than the recorder when both want it (nice, 0 to 19).
    const NICE: i32 = 5;

    pub(super) fn apply(limits: &Limits) -> Vec<String> {
        let mut missing = Vec::new();
        let mut note = |what: &str, result: Result<(), String>| {
            if let Err(reason) = result {
                missing.push(format!(
                    "{what} of script processes cannot be limited: {reason}"
                ));
            }
        };
        note("priority", said(rustix::process::nice(NICE)));
        note("memory", limit(Resource::As, limits.memory));
        note("open files", limit(Resource::Nofile, MAX_FILES));
        note("core files", limit(Resource::Core, 0));
        note(
            "tracing",
            said(rustix::process::set_dumpable_behavior(
                DumpableBehavior::NotDumpable,
            )),
        );
        note(
            "new privileges",
            said(rustix::thread::set_no_new_privs(true)),
        );
        note(
            "capabilities",
            said(rustix::thread::set_capabilities(None, no_capabilities())),
        );
        // The filter of system calls comes last: it allows none of the calls above.
        note("files beyond that filter", without_files().map(drop));
        note("system calls", confine());
        missing
    }

    /// Landlock: no file may be opened, no port bound or connected to, no socket or process outside
    /// reached. A second wall behind the filter of system calls, which must stand even if one call
    /// too many is allowed there. Answers how much of Landlock this kernel has.
    pub(in crate::script::child) fn without_files() -> Result<ABI, String> {
        // Newer rights are left out by older kernels.
        let newest = ABI::V7;
        let restrict = || -> Result<LandlockStatus, RulesetError> {
            let status = Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(newest))?
                .handle_access(AccessNet::from_all(newest))?
                .scope(Scope::from_all(newest))?
                .create()?
                .restrict_self()?;
            Ok(status.landlock)
        };
        match restrict().map_err(text)? {
            LandlockStatus::Available { effective_abi, .. } => Ok(effective_abi),
            LandlockStatus::NotEnabled => Err("Landlock is not switched on in this kernel".into()),
            LandlockStatus::NotImplemented => Err("this kernel has no Landlock".into()),
        }
    }

    fn limit(resource: Resource, most: u64) -> Result<(), String> {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        said(rustix::process::setrlimit(resource, limit))
    }

    fn no_capabilities() -> CapabilitySets {
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        }
    }

    fn confine() -> Result<(), String> {
        let arch = std::env::consts::ARCH.try_into().map_err(text)?;
        let rules = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch).map_err(text)?;
        let program: BpfProgram = filter.try_into().map_err(text)?;
        seccompiler::apply_filter(&program).map_err(text)
    }

    fn said<T, E: Display>(result: Result<T, E>) -> Result<(), String> {
        result.map(drop).map_err(text)
    }

    fn text(error: impl Display) -> String {
        error.to_string()
    }
}
