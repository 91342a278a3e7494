//! Objects in the bucket beside the tables: what is written once and never changed, though it may be
//! deleted.

use crate::{Lake, lake::object_path};
use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, path::Path};

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {path} in the bucket")]
pub struct ObjectError {
    /// What was being done.
    pub action: &'static str,
    /// The object.
    pub path: String,
    /// The cause.
    #[source]
    pub source: object_store::Error,
}

impl Lake {
    /// Writes an object, unless there is one of that name; the name is relative to the lake. Of
    /// several that write it at once, one does. False if it was there before.
    ///
    /// # Errors
    ///
    /// After one it may have been written all the same.
    pub async fn put_object_once(&self, name: &str, bytes: Bytes) -> Result<bool, ObjectError> {
        let failed = |source| ObjectError {
            action: "write",
            path: name.to_owned(),
            source,
        };
        let path = self.object(name).map_err(failed)?;
        let options = PutOptions::from(PutMode::Create);
        match self.store().put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(failed(source)),
        }
    }

    /// Reads an object; the name is relative to the lake. `None` if there is none.
    pub async fn get_object(&self, name: &str) -> Result<Option<Bytes>, ObjectError> {
        let failed = |source| ObjectError {
            action: "read",
            path: name.to_owned(),
            source,
        };
        let path = self.object(name).map_err(failed)?;
        match self.store().get(&path).await {
            Ok(object) => Ok(Some(object.bytes().await.map_err(failed)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// The names of the objects in a folder, sorted; relative to the folder, those in folders of it left
    /// out.
    pub async fn object_names(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        let failed = |source| ObjectError {
            action: "list",
            path: folder.to_owned(),
            source,
        };
        let path = self.object(folder).map_err(failed)?;
        let found = match self.store().list_with_delimiter(Some(&path)).await {
            Ok(found) => found.objects,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(source) => return Err(failed(source)),
        };
        let names = found.iter().filter_map(|object| object.location.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Deletes an object, if there is one of that name; the name is relative to the lake.
    pub async fn delete_object(&self, name: &str) -> Result<(), ObjectError> {
        let failed = |source| ObjectError {
            action: "delete",
            path: name.to_owned(),
            source,
        };
        let path = self.object(name).map_err(failed)?;
        match self.store().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed(source)),
        }
    }

    fn object(&self, name: &str) -> Result<Path, object_store::Error> {
        let root = object_path(self.url())?;
        Ok(name.split('/').fold(root, |path, part| path.join(part)))
    }
}
