import pytest
import torch
from torch import nn

from clipsonic_cli.trainer.objective import Loss


class Points:
    """Sixteen points x with y = 2 x_0 - x_1."""

    def __init__(self):
        self.x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
        self.y = self.x @ torch.tensor([[2.0], [-1.0]])

    def __len__(self):
        return len(self.x)

    def name(self, clip):
        return f"point-{clip}"

    def sample(self, batch_size, generator):
        clip = torch.randint(len(self), (batch_size,), generator=generator)
        return {"clip": clip, "x": self.x[clip], "y": self.y[clip]}


class Regression:
    """Least squares with dropout and input noise, so that all randomness matters."""

    main = criterion = "net"

    def __init__(self, noise=0.01, dropout=0.1):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.networks = {"net": net}
        self.noise = noise
        self.before_step = lambda step: None

    def draw(self, batch, generator):
        noise = torch.randn(batch["x"].shape, generator=generator)
        return {**batch, "x": batch["x"] + self.noise * noise}

    def turns(self, step):
        self.before_step(step)
        return ("net",)

    def loss(self, network, batch, step):
        loss = (self.networks["net"](batch["x"]) - batch["y"]).square()
        return Loss(mean=loss.mean(), parts={"twice": 2 * loss[:, 0]})


@pytest.fixture
def points():
    return Points()


@pytest.fixture
def regression():
    return Regression
