//! Least-privilege IAM policies for those who record, read and verify.
//!
//! In: a role, a bucket, a prefix. Out: a policy document as AWS reads it. Never: a right to delete.
//! Format: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>.

use serde_json::{Value, json};

/// What somebody does with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Puts and locks, sees nothing.
    Recorder,
    /// Lists and reads, also through delete markers.
    Reader,
    /// Reads, and sees locks and the bucket's settings.
    Verifier,
}

impl Role {
    /// All roles, for help and completion.
    pub const ALL: &'static [Role] = &[Role::Recorder, Role::Reader, Role::Verifier];

    /// The role's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Role::Recorder => "recorder",
            Role::Reader => "reader",
            Role::Verifier => "verifier",
        }
    }

    /// The role of a name.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.iter().copied().find(|role| role.name() == name)
    }

    /// Actions on objects.
    fn on_objects(self) -> &'static [&'static str] {
        match self {
            Role::Recorder => &[
                "s3:PutObject",
                "s3:PutObjectRetention",
                "s3:PutObjectLegalHold",
                "s3:AbortMultipartUpload",
            ],
            Role::Reader => &["s3:GetObject", "s3:GetObjectVersion"],
            Role::Verifier => &[
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:GetObjectRetention",
                "s3:GetObjectLegalHold",
            ],
        }
    }

    /// Actions on the bucket that know a prefix.
    fn on_listings(self) -> &'static [&'static str] {
        match self {
            Role::Recorder => &[],
            Role::Reader | Role::Verifier => &["s3:ListBucket", "s3:ListBucketVersions"],
        }
    }

    /// Actions on the bucket as a whole.
    fn on_bucket(self) -> &'static [&'static str] {
        match self {
            Role::Recorder | Role::Reader => &[],
            Role::Verifier => &[
                "s3:GetBucketObjectLockConfiguration",
                "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketPolicyStatus",
            ],
        }
    }

    /// Actions on the key that encrypts; sending in parts needs to decrypt too.
    fn on_key(self) -> &'static [&'static str] {
        match self {
            Role::Recorder => &["kms:GenerateDataKey", "kms:Decrypt"],
            Role::Reader | Role::Verifier => &["kms:Decrypt"],
        }
    }
}

/// The policy for `role` on `bucket` below `prefix` (empty for all of it), with the ARN of the KMS
/// key when there is one.
pub fn policy(role: Role, bucket: &str, prefix: &str, kms_key_arn: Option<&str>) -> Value {
    let prefix = prefix.trim_matches('/');
    let below = match prefix {
        "" => "*".to_owned(),
        prefix => format!("{prefix}/*"),
    };
    let bucket_arn = format!("arn:aws:s3:::{bucket}");
    let mut statements = vec![json!({
        "Sid": "Objects",
        "Effect": "Allow",
        "Action": role.on_objects(),
        "Resource": format!("{bucket_arn}/{below}"),
    })];
    if !role.on_listings().is_empty() {
        let mut statement = json!({
            "Sid": "Listings",
            "Effect": "Allow",
            "Action": role.on_listings(),
            "Resource": bucket_arn,
        });
        if let (false, Some(object)) = (prefix.is_empty(), statement.as_object_mut()) {
            object.insert(
                "Condition".into(),
                json!({"StringLike": {"s3:prefix": [prefix, below]}}),
            );
        }
        statements.push(statement);
    }
    if !role.on_bucket().is_empty() {
        statements.push(json!({
            "Sid": "Settings",
            "Effect": "Allow",
            "Action": role.on_bucket(),
            "Resource": bucket_arn,
        }));
    }
    if let Some(key) = kms_key_arn {
        statements.push(json!({
            "Sid": "Key",
            "Effect": "Allow",
            "Action": role.on_key(),
            "Resource": key,
        }));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_can_only_put() {
        let text = policy(Role::Recorder, "b", "", None).to_string();
        for right in ["Get", "List", "Delete", "Bypass"] {
            assert!(!text.contains(right), "{text} holds {right}");
        }
        assert!(text.contains("\"arn:aws:s3:::b/*\""));
    }

    #[test]
    fn a_prefix_narrows_listings_too() {
        let policy = policy(Role::Reader, "b", "/a/b/", None);
        assert_eq!(
            policy["Statement"][1]["Condition"]["StringLike"]["s3:prefix"],
            json!(["a/b", "a/b/*"])
        );
    }

    #[test]
    fn nobody_may_delete() {
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(*role));
            let text = policy(*role, "b", "p", Some("arn:aws:kms:x:1:key/k")).to_string();
            assert!(
                !text.contains("Delete") && !text.contains("\"s3:*\""),
                "{text}"
            );
        }
    }
}
