//! Rights of the process: what it gives up once the interface is open.
//!
//! In: the user who called sudo, as the command line found it. Out: a process that runs as that user
//! and holds no capability. Never: a way back; what was given up stays given up.
//! Linux only; elsewhere the process stays who it is. Called while the process has one thread: what
//! Linux gives up counts for one thread, and later threads inherit it.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// Groups of one user that are taken; the kernel's own bound (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// The user who called sudo (`SUDO_UID`, `SUDO_GID`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

impl Caller {
    /// Reads the two variables; `None` when one is missing, no number, or root itself.
    pub fn parse(uid: Option<&str>, gid: Option<&str>) -> Option<Caller> {
        let caller = Caller {
            uid: uid?.parse().ok()?,
            gid: gid?.parse().ok()?,
        };
        (caller.uid != 0).then_some(caller)
    }
}

/// Whom the process has become, as far as `/etc/passwd` knows the user.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Became {
    /// Login name.
    pub name: Option<String>,
    /// Home folder, where configuration and AWS profiles lie.
    pub home: Option<PathBuf>,
}

/// Why rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// The process has more than one thread.
    #[error("rights cannot be given up with {0} threads running")]
    Threads(usize),
    /// The system refused.
    #[error("{step} failed: {error}")]
    System {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// Root could be had again.
    #[error("root could be had again after becoming user {0}")]
    StillRoot(u32),
}

/// Becomes the user who called sudo, with that user's groups of `/etc/group`.
///
/// # Errors
/// When the system refuses; the process must then not go on.
pub fn become_caller(caller: Caller) -> Result<Became, RightsError> {
    one_thread()?;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let became = user(&passwd, caller.uid);
    let listed = fs::read_to_string("/etc/group").unwrap_or_default();
    let mut groups = vec![caller.gid];
    if let Some(name) = &became.name {
        groups.extend(groups_of(&listed, name).filter(|gid| *gid != caller.gid));
    }
    groups.truncate(MAX_GROUPS);
    let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(caller.uid), Gid::from_raw(caller.gid));
    // Groups first, the user last: without root nothing else can be changed any more.
    set_thread_groups(&groups).map_err(refused("taking the user's groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(refused("taking the user's group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(refused("becoming the user"))?;
    let root = Uid::ROOT;
    if set_thread_res_uid(root, root, root).is_ok() {
        return Err(RightsError::StillRoot(caller.uid));
    }
    Ok(became)
}

/// Home folder of a user, as far as `/etc/passwd` knows it.
pub fn home(uid: u32) -> Option<PathBuf> {
    user(&fs::read_to_string("/etc/passwd").ok()?, uid).home
}

/// Gives up every capability, for this process and the programs that it starts.
///
/// An open interface stays open; a new one cannot be opened afterwards.
///
/// # Errors
/// When the system refuses or other threads run, which would keep what they have.
pub fn drop_capabilities() -> Result<(), RightsError> {
    one_thread()?;
    // Without this a child of the same file would get the file's capabilities once more.
    set_no_new_privs(true).map_err(refused("refusing new rights"))?;
    clear_ambient_capability_set().map_err(refused("clearing ambient capabilities"))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(refused("dropping capabilities"))
}

/// Name and home of a user: `name:password:uid:gid:comment:home:shell`.
fn user(passwd: &str, uid: u32) -> Became {
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let is_user = fields.nth(1)?.parse() == Ok(uid);
            let home = fields.nth(2)?;
            is_user.then(|| Became {
                name: Some(name.to_owned()),
                home: Some(PathBuf::from(home)),
            })
        })
        .unwrap_or_default()
}

/// Numbers of the groups that name a user: `name:password:gid:user,user`.
fn groups_of<'a>(group: &'a str, name: &'a str) -> impl Iterator<Item = u32> + 'a {
    group.lines().filter_map(move |line| {
        let mut fields = line.split(':').skip(2);
        let gid = fields.next()?.parse().ok()?;
        fields
            .next()?
            .split(',')
            .any(|member| member == name)
            .then_some(gid)
    })
}

fn refused(step: &'static str) -> impl Fn(rustix::io::Errno) -> RightsError {
    move |error| RightsError::System {
        step,
        error: error.into(),
    }
}

fn one_thread() -> Result<(), RightsError> {
    match fs::read_dir("/proc/self/task").map_or(1, Iterator::count) {
        1 => Ok(()),
        threads => Err(RightsError::Threads(threads)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_two_numbers_and_not_root() {
        let caller = |uid, gid| Caller::parse(uid, gid).map(|caller| (caller.uid, caller.gid));
        assert_eq!(caller(Some("1000"), Some("100")), Some((1000, 100)));
        assert_eq!(caller(Some("0"), Some("0")), None);
        assert_eq!(caller(Some("x"), Some("0")), None);
        assert_eq!(caller(None, Some("0")), None);
    }

    #[test]
    fn a_user_is_found_with_home_and_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann,,,:/home/ann:/bin/sh\n";
        let ann = user(passwd, 1000);
        assert_eq!(ann.name.as_deref(), Some("ann"));
        assert_eq!(ann.home, Some(PathBuf::from("/home/ann")));
        assert_eq!(user(passwd, 7), Became::default());
        let group = "adm:x:4:ann,bob\nmary:x:5:\nannex:x:6:annette\nnet:x:7:bob,ann\n";
        assert_eq!(groups_of(group, "ann").collect::<Vec<_>>(), [4, 7]);
    }

    #[test]
    fn rights_stay_while_threads_run() {
        // The test harness runs this on a thread of its own.
        assert!(matches!(drop_capabilities(), Err(RightsError::Threads(count)) if count > 1));
    }
}
