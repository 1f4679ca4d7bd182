//! Registers services together with their description: what is not described cannot be routed.

use actix_web::dev::HttpServiceFactory;
use actix_web::web::ServiceConfig;
use utoipa::openapi::{Components, OpenApi};
use utoipa_actix_web::OpenApiFactory;

/// Takes services whose handlers carry `#[utoipa::path]`.
pub struct Routes<'a> {
    config: &'a mut ServiceConfig,
    document: OpenApi,
}

impl<'a> Routes<'a> {
    pub(super) fn new(config: &'a mut ServiceConfig, document: OpenApi) -> Self {
        Self { config, document }
    }

    /// Adds a service, and its operations and schemas to the document.
    pub fn service<F>(&mut self, factory: F) -> &mut Self
    where
        F: HttpServiceFactory + OpenApiFactory + 'static,
    {
        self.document.paths.merge(factory.paths());
        let mut schemas = Vec::new();
        factory.schemas(&mut schemas);
        let components = self.document.components.get_or_insert_with(Components::new);
        components.schemas.extend(schemas);
        self.config.service(factory);
        self
    }

    /// The document, with everything that was added.
    pub(super) fn into_document(self) -> OpenApi {
        self.document
    }
}
