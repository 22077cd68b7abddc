"""The EMA teacher against its formula."""

import pytest
import torch
from torch import nn

from bench.core.errors import BenchError
from bench.nn.ema import make_teacher, update


def test_formula_on_toy_tensors():
    student = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        student.weight.copy_(torch.tensor([[1.0], [2.0]]))
    teacher = make_teacher(student)
    assert torch.equal(teacher.weight, student.weight)
    with torch.no_grad():
        student.weight.copy_(torch.tensor([[3.0], [0.0]]))
    update(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight, torch.tensor([[1.2], [1.8]]))
    update(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight, torch.tensor([[1.38], [1.62]]))
    update(teacher, student, 1.0)
    torch.testing.assert_close(teacher.weight, torch.tensor([[1.38], [1.62]]))
    update(teacher, student, 0.0)
    assert torch.equal(teacher.weight, student.weight)


def test_teacher_receives_no_gradient_and_shares_no_memory():
    student = nn.Linear(3, 3)
    teacher = make_teacher(student)
    x = torch.randn(4, 3)
    (student(x) - teacher(x)).square().sum().backward()
    assert student.weight.grad is not None
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    before = teacher.weight.clone()
    with torch.no_grad():
        student.weight.add_(1)
    assert torch.equal(teacher.weight, before) and not teacher.training
    update(teacher, student, 0.5)
    assert not teacher.weight.requires_grad and student.weight.requires_grad


def test_buffers_are_copied():
    student = nn.BatchNorm1d(2)
    teacher = make_teacher(student)
    student(torch.randn(8, 2))
    update(teacher, student, 0.996)
    assert torch.equal(teacher.running_mean, student.running_mean)
    assert teacher.num_batches_tracked == 1


def test_bad_input_is_refused():
    with pytest.raises(BenchError, match="EMA momentum"):
        update(nn.Linear(1, 1), nn.Linear(1, 1), 1.1)
    with pytest.raises(ValueError, match="bias"):
        update(nn.Linear(1, 1), nn.Linear(1, 1, bias=False), 0.9)
