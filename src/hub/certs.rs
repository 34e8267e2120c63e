//! A small CA of one's own, and the certificates of hub and workers.
//!
//! In: a folder. Out: `ca.crt` and `ca.key` in it, and below `hub/` and `worker/` what each mounts.
//! Never: a key that is overwritten; a CA that is there signs again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, Duration as Days, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::tls::{CA_FILE, CERT_FILE, HUB_NAME, KEY_FILE, WORKER_NAME};
use crate::time::Timestamp;

/// Key of the CA, which neither hub nor workers mount.
pub const CA_KEY_FILE: &str = "ca.key";

/// Name of the CA.
const CA_NAME: &str = "tapedeck-ca";

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Whether the CA was made too, or one that was there signed again.
    pub new_ca: bool,
    /// The hub's folder.
    pub hub: PathBuf,
    /// The workers' folder.
    pub worker: PathBuf,
}

/// Makes the certificates of both roles in `folder`, valid for `days` from `now` on, and the CA when
/// there is none.
///
/// # Errors
/// One sentence that names the file.
pub fn make(folder: &Path, now: Timestamp, days: u32) -> Result<Made, String> {
    let (ca_path, key_path) = (folder.join(CA_FILE), folder.join(CA_KEY_FILE));
    let ca = authority(now, days)?;
    fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    let (ca_pem, issuer, new_ca) = match (ca_path.exists(), key_path.exists()) {
        (true, true) => {
            let pem = fs::read_to_string(&ca_path).map_err(|error| cannot(&ca_path, error))?;
            let key = fs::read_to_string(&key_path).map_err(|error| cannot(&key_path, error))?;
            let key = KeyPair::from_pem(&key).map_err(|error| cannot(&key_path, error))?;
            (pem, Issuer::new(ca, key), false)
        }
        (false, false) => {
            let key = KeyPair::generate().map_err(|error| error.to_string())?;
            let pem = ca
                .self_signed(&key)
                .map_err(|error| cannot(&ca_path, error))?
                .pem();
            write(&key_path, &key.serialize_pem(), true)?;
            write(&ca_path, &pem, false)?;
            (pem, Issuer::new(ca, key), true)
        }
        (true, false) => {
            return Err(format!(
                "{} is missing, {} alone cannot sign; restore it, or name another folder",
                key_path.display(),
                ca_path.display()
            ));
        }
        (false, true) => {
            return Err(format!(
                "{} is missing, which belongs to {}; restore it, or name another folder",
                ca_path.display(),
                key_path.display()
            ));
        }
    };
    let mut made = Made {
        new_ca,
        hub: folder.join("hub"),
        worker: folder.join("worker"),
    };
    for (folder, name, purpose) in [
        (&mut made.hub, HUB_NAME, ExtendedKeyUsagePurpose::ServerAuth),
        (
            &mut made.worker,
            WORKER_NAME,
            ExtendedKeyUsagePurpose::ClientAuth,
        ),
    ] {
        fs::create_dir_all(&*folder).map_err(|error| cannot(folder, error))?;
        let params = named(name, vec![purpose], now, days)?;
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let certificate = params
            .signed_by(&key, &issuer)
            .map_err(|error| cannot(folder, error))?;
        write(&folder.join(KEY_FILE), &key.serialize_pem(), true)?;
        write(&folder.join(CERT_FILE), &certificate.pem(), false)?;
        write(&folder.join(CA_FILE), &ca_pem, false)?;
    }
    Ok(made)
}

/// A certificate for `name` without its key.
fn named(
    name: &str,
    purposes: Vec<ExtendedKeyUsagePurpose>,
    now: Timestamp,
    days: u32,
) -> Result<CertificateParams, String> {
    let mut params =
        CertificateParams::new(vec![name.to_owned()]).map_err(|error| error.to_string())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = purposes;
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, now, days)?;
    Ok(params)
}

/// The CA without its key. It is the same for every key, so one that is there can sign again.
fn authority(now: Timestamp, days: u32) -> Result<CertificateParams, String> {
    /// A CA outlives the certificates that it signs.
    const LIVES: u32 = 10;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, now, days.saturating_mul(LIVES))?;
    Ok(params)
}

/// Valid from the day before `now`, since clocks differ, for so many days.
fn validity(params: &mut CertificateParams, now: Timestamp, days: u32) -> Result<(), String> {
    let today = DateTime::<Utc>::from_timestamp(now.secs(), 0)
        .ok_or_else(|| "the clock shows no time that a certificate can hold".to_owned())?;
    let last = today
        .checked_add_signed(Days::days(days.into()))
        .filter(|last| last.year() < 9999)
        .ok_or_else(|| format!("{days} days are more than a certificate can be valid for"))?;
    let date = |day: DateTime<Utc>| {
        let part = |part: u32| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(day.year(), part(day.month()), part(day.day()))
    };
    params.not_before = date(today - Days::days(1));
    params.not_after = date(last);
    Ok(())
}

/// Writes a file in one step; keys are readable by their owner alone.
fn write(path: &Path, text: &str, secret: bool) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| cannot(path, error))?;
    file.write_all(text.as_bytes())
        .map_err(|error| cannot(path, error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if secret { 0o600 } else { 0o644 };
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode))
            .map_err(|error| cannot(path, error))?;
    }
    #[cfg(not(unix))]
    let _ = secret;
    file.persist(path)
        .map_err(|error| cannot(path, error.error))?;
    Ok(())
}

fn cannot(path: &Path, error: impl std::fmt::Display) -> String {
    format!("{} cannot be made or read: {error}", path.display())
}

/// Writes into `to` the files of somebody of this name, for both roles, whom the CA of `folder` signed.
#[cfg(test)]
pub(super) fn make_for(folder: &Path, name: &str, to: &Path) {
    use crate::time::{Clock, SystemClock};
    let now = SystemClock.now();
    let key = fs::read_to_string(folder.join(CA_KEY_FILE)).unwrap();
    let issuer = Issuer::new(authority(now, 1).unwrap(), KeyPair::from_pem(&key).unwrap());
    let purposes = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate().unwrap();
    let params = named(name, purposes, now, 1).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    fs::create_dir_all(to).unwrap();
    fs::copy(folder.join(CA_FILE), to.join(CA_FILE)).unwrap();
    fs::write(to.join(CERT_FILE), certificate.pem()).unwrap();
    fs::write(to.join(KEY_FILE), key.serialize_pem()).unwrap();
}
