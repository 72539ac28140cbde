"""A script in the style of the Lightning CLI: a LightningModule, a LightningDataModule, and no code of its own to run.

python examples/scripts/lightning_train.py fit --model.lr 0.01 --trainer.max_epochs 3
"""

import warnings

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore", module="lightning")


class Net(LightningModule):
    """One hidden layer."""

    def __init__(self, lr: float = 0.01, width: int = 32) -> None:
        super().__init__()
        self.lr = lr
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: list[Tensor]) -> Tensor:
        images, labels = batch
        return cross_entropy(self.layers(images), labels)

    def validation_step(self, batch: list[Tensor]) -> None:
        images, labels = batch
        self.log("val_loss", cross_entropy(self.layers(images), labels), on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Digits(LightningDataModule):
    """scikit-learn's handwritten digits."""

    def setup(self, stage: str) -> None:
        images, labels = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
        self.train, self.val = data[:1400], data[1400:]

    def train_dataloader(self) -> DataLoader[list[Tensor]]:
        return DataLoader(TensorDataset(*self.train), batch_size=64, shuffle=True)

    def val_dataloader(self) -> DataLoader[list[Tensor]]:
        return DataLoader(TensorDataset(*self.val), batch_size=400)


if __name__ == "__main__":
    LightningCLI(Net, Digits, seed_everything_default=0)
