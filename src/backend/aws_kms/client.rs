//! The SDK's clients, and the gate before them.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use tracing::info;

use super::fault::{fault, fault_of_creation, wants_other_credentials};
use super::settings::Settings;
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::cloud::gate::{Gate, Lane};
use crate::backend::cloud::metrics::CloudMetrics;
use crate::backend::cloud::renewable::Renewable;
use crate::clock::Clock;
use crate::ids::BackendId;

/// One account and region of AWS, and how much of it may be used.
pub(super) struct Account {
    pub(super) settings: Settings,
    pub(super) gate: Gate,
    pub(super) lanes: Lanes,
    pub(super) clock: Arc<dyn Clock>,
    id: BackendId,
    clients: Renewable<Held>,
}

/// The quotas of KMS that we share with whoever else uses the account.
pub(super) struct Lanes {
    pub(super) rsa: Lane,
    pub(super) ecc: Lane,
    read: Lane,
    write: Lane,
}

/// The clients of one set of credentials.
pub(super) struct Clients {
    /// For signatures: gives up in time for another try.
    pub(super) signing: aws_sdk_kms::Client,
    pub(super) kms: aws_sdk_kms::Client,
    pub(super) tagging: aws_sdk_resourcegroupstagging::Client,
    pub(super) region: String,
}

/// Clients in use by a call.
pub(super) type Held = Arc<Clients>;

impl Account {
    pub(super) fn new(id: &BackendId, settings: Settings, metrics: &CloudMetrics, clock: Arc<dyn Clock>) -> Self {
        let lanes = Lanes {
            rsa: Lane::new(settings.sign_rate, SIGN_PATIENCE),
            ecc: Lane::new(settings.sign_rate, SIGN_PATIENCE),
            read: Lane::new(READ_RATE, PATIENCE),
            write: Lane::new(WRITE_RATE, PATIENCE),
        };
        let gate = Gate::new(id, metrics, Arc::clone(&clock));
        let clients = Renewable::new(Arc::clone(&clock));
        Self { settings, gate, lanes, clock, id: id.clone(), clients }
    }

    /// A call that changes nothing.
    pub(super) async fn read<T, E, F>(&self, operation: &str, call: impl Fn(Held) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.gate.repeat(&self.lanes.read, WITHIN, || self.call(operation, &call)).await
    }

    /// A call that changes something, and nothing more if it happens twice.
    pub(super) async fn write<T, E, F>(&self, operation: &str, call: impl Fn(Held) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.gate.repeat(&self.lanes.write, WITHIN, || self.call(operation, &call)).await
    }

    /// A call that makes another thing each time.
    pub(super) async fn create<T, E, F>(&self, operation: &str, call: impl Fn(Held) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let once = async {
            call(self.clients().await?).await.map_err(|error| {
                self.doubt(&error);
                fault_of_creation(operation, &error)
            })
        };
        self.gate.once(&self.lanes.write, WITHIN, once).await
    }

    /// One try of a call.
    async fn call<T, E, F>(&self, operation: &str, call: &impl Fn(Held) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        call(self.clients().await?).await.map_err(|error| self.failed(operation, &error))
    }

    /// What it means that a call failed.
    pub(super) fn failed<E>(&self, operation: &str, error: &SdkError<E, HttpResponse>) -> Fault
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.doubt(error);
        fault(operation, error)
    }

    /// The clients, made at first use: where there are no credentials yet, there may be some later.
    pub(super) async fn clients(&self) -> Result<Held, Fault> {
        self.clients.get(|| self.load()).await
    }

    /// Has credentials looked up anew if those that we hold are worn out.
    fn doubt<E: ProvideErrorMetadata>(&self, error: &SdkError<E, HttpResponse>) {
        if wants_other_credentials(error) {
            self.clients.refused();
        }
    }

    async fn load(&self) -> Result<Held, Fault> {
        let Settings { region, profile, endpoint, tagging_endpoint, sign_try, .. } = &self.settings;
        let times = |attempt| {
            TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN).operation_attempt_timeout(attempt).build()
        };
        // We repeat what may be repeated ourselves; the SDK would also repeat creations.
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(times(WITHIN));
        if let Some(region) = region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        let shared = loader.load().await;
        let Some(region) = shared.region().map(ToString::to_string) else {
            let text = "no region: set region in the backend's table, or AWS_REGION, or one in the profile";
            return Err(Fault::new(Class::Permission, text));
        };
        let kms = |attempt| {
            let mut config = aws_sdk_kms::config::Builder::from(&shared).timeout_config(times(attempt));
            if let Some(endpoint) = endpoint {
                config = config.endpoint_url(endpoint);
            }
            aws_sdk_kms::Client::from_conf(config.build())
        };
        let mut tagging = aws_sdk_resourcegroupstagging::config::Builder::from(&shared);
        if let Some(endpoint) = tagging_endpoint {
            tagging = tagging.endpoint_url(endpoint);
        }
        info!(backend = %self.id, region, "clients of AWS made");
        Ok(Arc::new(Clients {
            signing: kms(*sign_try),
            kms: kms(WITHIN),
            tagging: aws_sdk_resourcegroupstagging::Client::from_conf(tagging.build()),
            region,
        }))
    }
}

/// How long a call may take that is no signature, its repetitions included.
const WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Reads of ours per second; the quotas are 100 and more for each.
const READ_RATE: u32 = 50;
/// Changes of ours per second: the smallest quota of those that we use (CreateKey, CreateAlias, DisableKey).
const WRITE_RATE: u32 = 5;
/// How long a call waits for its place in the quota.
const PATIENCE: Duration = Duration::from_secs(8);
/// The same for a signature, whose caller is better told at once.
const SIGN_PATIENCE: Duration = Duration::from_millis(100);
