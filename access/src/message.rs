//! A request, as far as a signature may cover it.

use crate::SignatureError;
use http::{HeaderMap, HeaderName};

/// A request, as far as a signature may cover it (RFC 9421, section 2).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Host and port, as in the header `Host`.
    pub authority: &'a str,
    /// The path, as it was sent.
    pub path: &'a str,
    /// What stands after the question mark, if there is one.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl Message<'_> {
    /// Adds a line of the signature base (RFC 9421, section 2.5).
    pub(crate) fn line(&self, component: &str, base: &mut String) -> Result<(), SignatureError> {
        base.push('"');
        base.push_str(component);
        base.push_str("\": ");
        match component {
            "@method" => base.push_str(self.method),
            "@authority" => base.push_str(&self.normal_authority()),
            "@path" if self.path.is_empty() => base.push('/'),
            "@path" => base.push_str(self.path),
            "@query" => {
                base.push('?');
                base.push_str(self.query.unwrap_or_default());
            }
            derived if derived.starts_with('@') => {
                return Err(SignatureError::Unsupported(shown(derived)));
            }
            field => self.field(field, base)?,
        }
        base.push('\n');
        Ok(())
    }

    /// In lower case and without the port that is meant anyway.
    fn normal_authority(&self) -> String {
        let lower = self.authority.to_ascii_lowercase();
        let bare = lower.strip_suffix(":80").or(lower.strip_suffix(":443"));
        bare.map(str::to_owned).unwrap_or(lower)
    }

    fn field(&self, name: &str, base: &mut String) -> Result<(), SignatureError> {
        let unsupported = || SignatureError::Unsupported(shown(name));
        // Names have to be in lower case, so that each can be covered once only.
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(unsupported());
        }
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsupported())?;
        let mut any = false;
        for value in self.headers.get_all(header) {
            let text = value.to_str().map_err(|_| unsupported())?;
            if any {
                base.push_str(", ");
            }
            base.push_str(text.trim());
            any = true;
        }
        if any {
            Ok(())
        } else {
            Err(SignatureError::Absent(shown(name)))
        }
    }
}

/// A name from a request, fit for a message.
pub(crate) fn shown(name: &str) -> String {
    name.chars()
        .filter(|one| !one.is_control())
        .take(64)
        .collect()
}
