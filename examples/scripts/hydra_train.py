"""A script in the style of Hydra: options are `group.name=value`, and each run works in a folder of its own.

python examples/scripts/hydra_train.py model.alpha=0.001 trainer.epochs=5
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

log = logging.getLogger(__name__)


@dataclass
class Model:
    alpha: float = 1e-4
    penalty: str = "l2"


@dataclass
class Trainer:
    epochs: int = 5
    lr: float = 0.01


@dataclass
class Config:
    model: Model = field(default_factory=Model)
    trainer: Trainer = field(default_factory=Trainer)


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(config: Any) -> None:
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    model = SGDClassifier(
        loss="log_loss",
        learning_rate="constant",
        eta0=config.trainer.lr,
        alpha=config.model.alpha,
        penalty=config.model.penalty,
        random_state=0,
    )
    for epoch in range(1, config.trainer.epochs + 1):
        model.partial_fit(images[:1400], labels[:1400], classes=range(10))
        loss = log_loss(labels[1400:], model.predict_proba(images[1400:]), labels=range(10))
        log.info("epoch=%d val_loss=%.4f", epoch, loss)


if __name__ == "__main__":
    main()
