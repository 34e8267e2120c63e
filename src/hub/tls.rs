//! Who may speak: TLS 1.3, both sides show a certificate that the cluster's own CA signed for their role.
//!
//! In: a folder with `ca.crt`, `tls.crt` and `tls.key` (PEM), as a Secret of Kubernetes is mounted.
//! Out: what rustls needs for each end, and sentences for what it refuses. Never: a name of the
//! system's trust store; whoever is not signed by the CA is nobody, and whoever it signed for something
//! else has no role.
//!
//! The files are read again when they change, so a certificate is replaced without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName,
    RootCertStore, ServerConfig, SignatureScheme,
};

/// The name in the hub's certificate, whatever address it is reached by.
pub const HUB_NAME: &str = "tapedeck-hub";

/// The name in the workers' certificate, among its alternative names (RFC 5280, 4.2.1.6).
pub const WORKER_NAME: &str = "tapedeck-worker";

/// The CA's certificates.
pub const CA_FILE: &str = "ca.crt";

/// One's own certificate, those that lead to the CA behind it.
pub const CERT_FILE: &str = "tls.crt";

/// Its key.
pub const KEY_FILE: &str = "tls.key";

/// A folder with the three files.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

/// What was read of them.
struct Read {
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Folder {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self) -> Result<Read, String> {
        let mut roots = RootCertStore::empty();
        let path = self.file(CA_FILE);
        for certificate in certificates(&path)? {
            roots
                .add(certificate)
                .map_err(|error| unreadable(&path, error))?;
        }
        let path = self.file(KEY_FILE);
        Ok(Read {
            roots,
            chain: certificates(&self.file(CERT_FILE))?,
            key: PrivateKeyDer::from_pem_file(&path).map_err(|error| unreadable(&path, error))?,
        })
    }

    /// What a worker connects with.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub fn client(&self) -> Result<Arc<ClientConfig>, String> {
        let read = self.read()?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(read.roots)
            .with_client_auth_cert(read.chain, read.key)
            .map_err(|error| unreadable(&self.file(CERT_FILE), error))?;
        Ok(Arc::new(config))
    }

    /// What the hub accepts with.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub fn server(&self) -> Result<Arc<ServerConfig>, String> {
        let read = self.read()?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(read.roots), provider())
                .build()
                .map_err(|error| unreadable(&self.file(CA_FILE), error))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(Arc::new(WorkersAlone(verifier)))
            .with_single_cert(read.chain, read.key)
            .map_err(|error| unreadable(&self.file(CERT_FILE), error))?;
        Ok(Arc::new(config))
    }

    /// When each file was last changed.
    fn changed(&self) -> [Option<SystemTime>; 3] {
        [CA_FILE, CERT_FILE, KEY_FILE].map(|name| {
            let metadata = std::fs::metadata(self.file(name)).ok()?;
            metadata.modified().ok()
        })
    }
}

/// The hub's configuration, read again when a file changes.
pub struct Accepting {
    folder: Folder,
    read: Mutex<([Option<SystemTime>; 3], Arc<ServerConfig>)>,
}

impl Accepting {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub fn new(folder: Folder) -> Result<Accepting, String> {
        let changed = folder.changed();
        let read = Mutex::new((changed, folder.server()?));
        Ok(Accepting { folder, read })
    }

    /// The configuration now; a new one that cannot be read leaves the last one in force.
    pub fn now(&self) -> Arc<ServerConfig> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.folder.changed();
        if read.0 != changed {
            read.0 = changed;
            match self.folder.server() {
                Ok(config) => read.1 = config,
                Err(sentence) => {
                    tracing::warn!(sentence, "the last certificates stay in force");
                }
            }
        }
        read.1.clone()
    }
}

/// Lets in who shows a certificate of the CA for [`WORKER_NAME`]. The CA may have signed others for clients:
/// those of the hub, or of anything in the cluster.
#[derive(Debug)]
struct WorkersAlone(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for WorkersAlone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        let named = ParsedCertificate::try_from(end_entity)?;
        match verify_server_name(&named, &name(WORKER_NAME)) {
            Ok(()) => Ok(verified),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The name that a worker expects in the hub's certificate.
pub fn hub_name() -> ServerName<'static> {
    name(HUB_NAME)
}

fn name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).expect("it is a name")
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(path, error))?
        .collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(unreadable(path, "it holds no certificate")),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, why: impl std::fmt::Display) -> String {
    format!(
        "{} cannot be used: {why}; see: tapedeck certs --help",
        path.display()
    )
}

/// Why the other side was refused, or refused us, told for people; `other` is what they call it.
pub fn refusal(error: &std::io::Error, other: &str) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let sentence = match error {
        rustls::Error::NoCertificatesPresented => format!("{other} showed no certificate"),
        rustls::Error::InvalidCertificate(why) => {
            format!("the certificate of {other} {}", wrong(why))
        }
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::BadCertificate => {
                format!("{other} does not know the CA that signed our certificate")
            }
            AlertDescription::CertificateRequired => {
                format!("{other} wants a certificate and got none")
            }
            AlertDescription::CertificateExpired => {
                format!("{other} says that our certificate has expired")
            }
            AlertDescription::AccessDenied => {
                format!("{other} wants a certificate that names {WORKER_NAME}")
            }
            AlertDescription::UnsupportedCertificate | AlertDescription::CertificateUnknown => {
                format!("{other} refused our certificate")
            }
            _ => format!("{other} ended the handshake: {alert:?}"),
        },
        rustls::Error::InvalidMessage(_) | rustls::Error::PeerIncompatible(_) => {
            format!("{other} does not speak TLS 1.3")
        }
        other_error => format!("{other} could not be verified: {other_error}"),
    };
    Some(format!("{sentence}; see: tapedeck certs --help"))
}

fn wrong(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("is not signed by the CA in {CA_FILE}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("is not one of {HUB_NAME}")
        }
        CertificateError::ApplicationVerificationFailure => {
            format!("does not name {WORKER_NAME}")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is for the other role".to_owned()
        }
        other => format!("is not valid: {other}"),
    }
}
