// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A fee-on-transfer token whose log lies: Transfer names the gross value, the receiver is
/// credited less, and the fee moves to the collector without any event.
contract GrossFeeToken {
    string public name;
    string public symbol;
    uint8 public immutable decimals;
    uint256 public immutable feeBasisPoints;
    address public immutable collector;
    uint256 public totalSupply;

    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    constructor(
        string memory name_,
        string memory symbol_,
        uint8 decimals_,
        uint256 feeBasisPoints_,
        address collector_
    ) {
        require(feeBasisPoints_ <= 10_000, "GrossFeeToken: fee above 100 %");
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
        feeBasisPoints = feeBasisPoints_;
        collector = collector_;
    }

    /// Anyone may mint; no fee is taken from what is minted.
    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        uint256 fee = (value * feeBasisPoints) / 10_000;
        balanceOf[from] -= value;
        balanceOf[to] += value - fee;
        balanceOf[collector] += fee;
        emit Transfer(from, to, value);
    }
}
